"""Many who ask at once share an answer, and nothing goes on when nobody asks any more."""

import asyncio

import pytest

from broker.platforms.one_answer import OneAnswer


class Engine:
    """Answers with how often it was asked, once it may."""

    def __init__(self):
        self.asked, self.ended, self.may = 0, 0, asyncio.Event()

    async def ask(self):
        self.asked += 1
        number = self.asked
        try:
            await self.may.wait()
            return number
        finally:
            self.ended += 1


async def settled():
    """Everybody has gone as far as they get."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_comes_while_it_is_asked_gets_the_next_answer():
    async def story():
        engine = Engine()
        answer = OneAnswer(engine.ask)
        first = [asyncio.ensure_future(answer.get()) for _ in range(3)]
        await settled()
        later = [asyncio.ensure_future(answer.get()) for _ in range(3)]
        await settled()
        engine.may.set()
        assert await asyncio.gather(*first, *later) == [1, 1, 1, 2, 2, 2]

    asyncio.run(story())


def test_one_who_gives_up_takes_the_answer_from_nobody():
    async def story():
        engine = Engine()
        answer = OneAnswer(engine.ask)
        gone, stays = (asyncio.ensure_future(answer.get()) for _ in range(2))
        await settled()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        engine.may.set()
        assert await stays == 1

    asyncio.run(story())


def test_the_last_who_gives_up_ends_the_question_and_the_next_asks_anew():
    async def story():
        engine = Engine()
        answer = OneAnswer(engine.ask)
        for number in (1, 2, 3):
            asking = asyncio.ensure_future(answer.get())
            await settled()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (engine.asked, engine.ended) == (number, number)
            assert len(asyncio.all_tasks()) == 1
        engine.may.set()
        assert await answer.get() == 4

    asyncio.run(story())


def test_a_failure_is_everybody_s_and_the_next_asks_anew():
    async def story():
        failing = True

        async def ask():
            if failing:
                raise ValueError("no")
            return "yes"

        answer = OneAnswer(ask)
        ends = await asyncio.gather(answer.get(), answer.get(), return_exceptions=True)
        assert [str(end) for end in ends] == ["no", "no"]
        failing = False
        assert await answer.get() == "yes"

    asyncio.run(story())


def test_another_event_loop_asks_for_itself():
    async def ask():
        return asyncio.get_running_loop()

    answer = OneAnswer(ask)

    async def story():
        return await answer.get() is asyncio.get_running_loop()

    assert [asyncio.run(story()) for _ in range(2)] == [True, True]
