"""The report on the clouds' use: how much there is, was taken and will be, and how long one waits."""
