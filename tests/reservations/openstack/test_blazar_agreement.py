"""What the calendars say fits, and what a real Blazar says when it is asked: the same, question by question.

FAIRLEAD_TEST_QUESTIONS is how many are asked (500 for a figure), FAIRLEAD_TEST_SEED
where they begin.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta

import pytest

from reservations.calendar import Calendar
from reservations.openstack.blazar import Blazar, SaidNoError
from reservations.openstack.connection import Cloud
from reservations.openstack.dates import asked as date
from reservations.openstack.kinds import PHYSICAL, reservation
from reservations.windows import Question, openings
from tests.reservations.openstack import questions
from tests.reservations.openstack.questions import Asked

QUESTIONS = int(os.environ.get("FAIRLEAD_TEST_QUESTIONS", "40"))
SEED = int(os.environ.get("FAIRLEAD_TEST_SEED", "1"))
PER_STATE = 25
ANSWERS = {
    "Not enough hosts available": False,
    "Conflicting reservation types found": False,
    "Datetime is out of lease limits": True,  # of a dry question
}
GPUS = {"gpu1": "10", "cpu1": "2"}  # the property `gpus`; cpu2 has none
TRAITS = {"with-a100": "required", "without-a100": "forbidden"}


def really(blazar: Blazar, question: Asked, *, keep: bool, dry: bool = False) -> bool:
    """Whether Blazar grants it; it is given back at once, or kept. `dry`: refused once its space is found."""
    body = {
        "name": "asked",
        "start_date": date(question.start),
        "end_date": date(question.end),
        "reservations": [reservation(question.need, question.kind, "gpus", GPUS.values())],
        "events": [],
    }
    if dry:
        body["before_end_date"] = date(question.end + timedelta(minutes=1))
    try:
        lease = blazar.create(body)
    except SaidNoError as error:
        answer = ANSWERS.get(error.said)
        if answer is None or (answer and not dry):
            raise
        return answer
    if not keep:
        blazar.delete(lease["id"])
    return True


def fits(calendars: dict[str, Calendar], question: Asked) -> bool:
    about = Question(question.need, question.end - question.start, question.start, question.start)
    return bool(openings(calendars[question.kind], about, 1))


@pytest.fixture
def equipped(cloud):
    """The cloud with a property that counts GPUs, and with flavours that want and don't want a trait."""
    with cloud.connect() as admin:
        for host in admin.reservation.get("/os-hosts").json()["hosts"]:
            values = {"gpus": GPUS.get(host["hypervisor_hostname"])}
            if values["gpus"]:
                admin.reservation.put(f"/os-hosts/{host['id']}", json=values).raise_for_status()
        for name, wanted in TRAITS.items():
            admin.compute.create_flavor(id=name, name=name, vcpus=2, ram=4096, disk=0)
            admin.compute.create_flavor_extra_specs(name, {"trait:CUSTOM_GPU_A100": wanted})
        yield
        for name in TRAITS:
            admin.compute.delete_flavor(name)


@pytest.mark.cloud
def test_every_answer_is_the_clouds_own(equipped, source_of, record_property):
    chance = random.Random(SEED)
    # tomorrow, so that nothing begins meanwhile
    since = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    source = source_of("admin", gpus="gpus")
    flavours = {each.kind: each.flavours for each in source.calendars(since, since)}["flavor:instance"]
    member, other = Blazar(Cloud("member", "test")), Blazar(Cloud("other", "test"))
    kinds = questions.states(chance)
    wrong, yes = [], 0
    for number in range(QUESTIONS):
        if number % PER_STATE == 0:
            for lease in other.leases():
                other.delete(lease["id"])
            mixture = next(kinds)
            state = [
                question
                for question in (questions.asked(chance, flavours, since, mixture) for _ in range(12))
                if really(other, question, keep=True)
            ]
            calendars = {each.kind: each for each in source.calendars(since, since + timedelta(days=2))}
        question = questions.asked(chance, flavours, since)
        # every third is really booked; of whole hosts a dry question says nothing, they are always booked
        dry = number % 3 != 0 and question.kind != PHYSICAL
        says, said = fits(calendars, question), really(member, question, keep=False, dry=dry)
        yes += said
        if says != said:
            held = "\n    ".join(map(str, state))
            wrong.append(f"{question}: we say {says}, Blazar {said}, beside\n    {held}")
    record_property("agree", f"{QUESTIONS - len(wrong)} of {QUESTIONS}, {yes} granted")
    assert not wrong, f"{QUESTIONS - len(wrong)} of {QUESTIONS} agree\n" + "\n".join(wrong)
    assert QUESTIONS < PER_STATE or 0 < yes < QUESTIONS
