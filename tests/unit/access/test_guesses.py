"""Guessing costs the guesser its answers and us a few look-ups at a time; a real key passes whatever stands beside it."""

import asyncio
import contextlib
from ipaddress import ip_address

import pytest

from shared import key_format
from shared.access import TooManyGuessesError
from shared.access.guesses import LANE_WAITING_MAX, LANE_WIDTH, GuessLimiter
from shared.principals import Principal
from support.fake_credentials import Clock, FakeCredentials

ADDRESS = ip_address("192.0.2.1")
GUESS = key_format.generate("secret", "live")


def spent(clock: Clock | None = None) -> GuessLimiter:
    """Return a limiter whose allowance for ADDRESS is spent."""
    limiter = GuessLimiter(per_minute=3, clock=clock or Clock())
    for _ in range(3):
        limiter.failed(GUESS, ADDRESS)
    return limiter


def test_a_flood_is_told_to_wait_and_may_come_again_later() -> None:
    """By address; the time until the next is named."""
    clock = Clock()
    limiter = spent(clock)
    with pytest.raises(TooManyGuessesError) as refused:
        limiter.failed(GUESS, ADDRESS)
    assert refused.value.retry_after_seconds == pytest.approx(20.0)
    limiter.failed(GUESS, ip_address("192.0.2.2"))
    clock.now += 20.0
    limiter.failed(GUESS, ADDRESS)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_what_counts_as_one_address(first: str, second: str, *, same: bool) -> None:
    """An IPv6 host has a /64 to itself; an IPv4 address is the same in either form."""
    limiter = GuessLimiter(per_minute=1, clock=Clock())
    limiter.failed(GUESS, ip_address(first))
    if same:
        with pytest.raises(TooManyGuessesError):
            limiter.failed(GUESS, ip_address(second))
    else:
        limiter.failed(GUESS, ip_address(second))


@pytest.mark.parametrize("text", ["x", "", "Basic", "0" * 4000], ids=["letter", "nothing", "word", "zeros"])
def test_what_has_no_form_of_a_credential_is_no_guess(text: str) -> None:
    """It is refused for nothing."""
    limiter = GuessLimiter(per_minute=1, clock=Clock())
    for _ in range(5):
        limiter.failed(text, ADDRESS)


@pytest.mark.parametrize(
    "text",
    [GUESS, GUESS[:-1] + "!", "cw_sk_live_x", "eyJh.eyJz.c2ln"],
    ids=["key", "wrong checksum", "short", "token"],  # the same in every process
)
def test_what_looks_like_a_credential_is_one(text: str) -> None:
    """Also with a wrong checksum."""
    limiter = GuessLimiter(per_minute=1, clock=Clock())
    limiter.failed(text, ADDRESS)
    with pytest.raises(TooManyGuessesError):
        limiter.failed(text, ADDRESS)


async def test_look_ups_of_a_flood_go_a_few_at_a_time_and_the_rest_is_turned_away() -> None:
    """While those of other addresses wait for nobody."""
    limiter, go, full = spent(), asyncio.Event(), asyncio.Event()
    inside = inside_max = turned_away = 0

    async def look_up() -> None:
        nonlocal inside, inside_max, turned_away
        try:
            async with limiter.look_up(ADDRESS):
                inside += 1
                inside_max = max(inside_max, inside)
                await go.wait()
                inside -= 1
        except TooManyGuessesError:
            turned_away += 1
            if turned_away == 10:
                full.set()

    tasks = [asyncio.create_task(look_up()) for _ in range(LANE_WAITING_MAX + 10)]
    await full.wait()
    async with limiter.look_up(ip_address("192.0.2.2")), limiter.look_up(None):
        assert inside == LANE_WIDTH
    go.set()
    await asyncio.gather(*tasks)
    assert (inside_max, turned_away) == (LANE_WIDTH, 10)


async def test_a_sibling_lets_a_real_key_pass_from_a_flooding_address() -> None:
    """One that it knows, and one that it has never seen; each guess is told to wait."""
    credentials = FakeCredentials()
    known, unseen, client = credentials.new_key(), credentials.new_key(), credentials.client(guesses_per_minute=3)
    assert await client.verify(known, ip=ADDRESS, scope="events:read")
    answers: list[Principal | str | None] = []
    for _ in range(10):
        try:
            answers.append(await client.verify(key_format.generate("secret", "live"), ip=ADDRESS, scope="events:read"))
        except TooManyGuessesError:
            answers.append("wait")
    assert answers == [None] * 3 + ["wait"] * 7
    for key in (known, unseen):
        assert await client.verify(key, ip=ADDRESS, scope="events:read")


async def test_a_flood_at_a_sibling_reaches_credentials_a_few_at_a_time() -> None:
    """The rest is turned away without a question."""
    credentials = FakeCredentials()
    client = credentials.client(guesses_per_minute=3)

    async def guess() -> None:
        with contextlib.suppress(TooManyGuessesError):
            await client.verify(key_format.generate("secret", "live"), ip=ADDRESS, scope="events:read")

    for _ in range(3):
        await guess()
    credentials.may_answer.clear()
    credentials.was_read.clear()
    tasks = [asyncio.create_task(guess()) for _ in range(500)]
    await credentials.was_read.wait()
    assert len(credentials.verified) <= 3 + LANE_WIDTH
    credentials.may_answer.set()
    await asyncio.gather(*tasks)
    assert len(credentials.verified) <= 3 + LANE_WAITING_MAX


def test_zero_means_no_limit() -> None:
    """For those who limit elsewhere."""
    limiter = GuessLimiter(per_minute=0)
    for _ in range(1_000):
        limiter.failed(GUESS, ADDRESS)
