import asyncio

from dras_service.gateway.turnstile import Turnstile

UPLOADS = frozenset({"/up"})


def test_uploads_begin_a_few_at_a_time_and_others_do_not_wait():
    begun, most, waiting = 0, 0, asyncio.Event()

    async def app(scope, receive, send):
        nonlocal begun, most
        begun += 1
        most = max(most, begun)
        if scope["method"] != "POST":
            begun -= 1
            return
        await waiting.wait()
        begun -= 1
        await receive()  # the body: its time is its own

    async def body():
        await asyncio.sleep(3600)

    async def rush():
        door = Turnstile(app, uploads=UPLOADS, at_once=3)
        tasks = [
            asyncio.create_task(door({"type": "http", "method": "POST", "path": "/up"}, body, None))
            for _ in range(20)
        ]
        await asyncio.sleep(0.05)
        assert begun == 3
        await door({"type": "http", "method": "GET", "path": "/healthz"}, body, None)
        await door(
            {"type": "http", "method": "GET", "path": "/up"}, body, None
        )  # a search there is no upload
        waiting.set()
        await asyncio.sleep(0.05)
        assert begun == 0  # all twenty wait for their bodies now
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(rush())
    assert most == 4


def test_an_upload_that_fails_before_its_body_gives_its_place_back():
    async def app(_scope, _receive, _send):
        raise ValueError

    async def many():
        door = Turnstile(app, uploads=UPLOADS, at_once=1)
        ended = await asyncio.wait_for(
            asyncio.gather(
                *(door({"type": "http", "method": "POST", "path": "/up"}, None, None) for _ in range(5)),
                return_exceptions=True,
            ),
            10,
        )
        return [type(error) for error in ended]

    assert asyncio.run(many()) == [ValueError] * 5
