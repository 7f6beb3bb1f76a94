"""When is there space: capacity and the windows in it."""
