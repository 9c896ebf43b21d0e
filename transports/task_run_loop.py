"""One event loop in a thread, in which all task runs of a runner wait: a task run that waits costs no thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any, Final

from prefect.context import AsyncClientContext

_START_SECONDS: Final = 60.0
_JOIN_SECONDS: Final = 1.0
"""How long one call waits for the end of the thread: signals are handled between two calls at the latest."""


class TaskRunLoop:
    """
    Runs coroutines in one thread until it is closed, with one client of Prefect's API for all of them.

    The thread is a daemon, so that it cannot keep a process alive whose user has interrupted it twice.
    """

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        # The context of the caller says which server Prefect's settings name.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="wait-for-task-runs", daemon=True
        )
        self._thread.start()
        self._loop = self._ready.result(_START_SECONDS)

    def start(self, function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> None:
        """Start a coroutine in a context of its own. It must handle its errors itself. From any thread."""
        self._loop.call_soon_threadsafe(self._create, function, context)

    def close(self) -> None:
        """Wait until all coroutines have ended, and end the thread. Safe to repeat."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
        while self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _create(self, function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> None:
        task = self._loop.create_task(self._with_client(function), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _with_client(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with self._client.model_copy():  # Without it Prefect would make a client for each task run.
            await function()

    def _work(self) -> None:
        try:
            asyncio.run(self._wait_for_all())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _wait_for_all(self) -> None:
        self._client = AsyncClientContext()
        async with self._client.client:
            self._ready.set_result(asyncio.get_running_loop())
            await self._closing.wait()
            while self._tasks:
                await asyncio.wait(self._tasks)
