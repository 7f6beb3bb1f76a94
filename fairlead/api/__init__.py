"""The API of Python: what the wings know, as pandas DataFrames whose columns carry their units.

`open` says where measurements and sites are; a `Fairlead` answers. It only asks the wings and lays out what
they say. What a person did wrong is a `federation.errors.InputError` of one line.
"""

from fairlead.api.network import Fairlead
from fairlead.api.opening import open
from fairlead.api.space import Space

__all__ = ["Fairlead", "Space", "open"]
