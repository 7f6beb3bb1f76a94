"""Start nova-compute with our driver beside Nova's own: it looks for one in its package nova.virt alone."""

from pathlib import Path

# first: it chooses the threading model
from nova.cmd.compute import main  # isort: split

from nova import virt

virt.__path__.append(str(Path(__file__).parent))
main()
