"""Rucio's own conveyor, one round for each line of standard input.

Runs with Rucio's interpreter. Everything is real but FTS: Rucio's own transfer tool for tests takes its place
and says of each transfer that it is done ("carry"), or we say that it failed ("fail WORDS").
"""

import sys

from rucio.daemons.conveyor.finisher import finisher
from rucio.daemons.conveyor.poller import poller
from rucio.daemons.conveyor.submitter import submitter
from rucio.db.sqla import models
from rucio.db.sqla.constants import RequestState
from rucio.db.sqla.session import get_session
from sqlalchemy import update


def fail(words):
    """As if each transfer had failed, for the last time."""
    session = get_session()()
    failed = update(models.Request).where(models.Request.state == RequestState.SUBMITTED)
    session.execute(failed.values(state=RequestState.FAILED, retry_count=3, err_msg=words))
    session.commit()
    session.close()


for line in sys.stdin:
    command, _, words = line.strip().partition(" ")
    submitter(
        once=True,
        partition_wait_time=0,
        transfertools=["mock"],
        transfertype="single",
        filter_transfertool=None,
    )
    if command == "fail":
        fail(words)
    else:
        poller(once=True, older_than=0, partition_wait_time=0, transfertool="mock")
    finisher(once=True, partition_wait_time=0)
    sys.stdout.write("done\n")
    sys.stdout.flush()
