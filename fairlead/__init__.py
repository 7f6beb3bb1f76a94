"""The front door: the `fairlead` command, the app that mounts everything, the demo."""
