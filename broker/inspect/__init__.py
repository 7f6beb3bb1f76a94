"""FITS files without downloading them: the headers of all HDUs, read where the file is stored.

`walk` goes from HDU to HDU, `far` does so over HTTP as a child process at the site, `describe` says what was
found, `footprint` where on the sky it is.
"""
