"""When is there space: capacity, and the sources that know of it."""
