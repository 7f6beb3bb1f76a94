"""Start blazar-manager, looking for due leases each second where it has a fixed 10 s: nobody waits for it."""

from blazar.cmd.manager import main
from blazar.manager import service

service.EVENT_INTERVAL = 1
main()
