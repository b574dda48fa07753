"""python3 -m unittest discover python/tests"""

from __future__ import annotations

import decimal
import logging
import logging.config
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Any
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import parselog_handler  # noqa: E402
from parselog_handler import ParselogHandler  # noqa: E402
from receiver import Receiver, wait_until  # noqa: E402

logging.raiseExceptions = True


class Case(unittest.TestCase):
    """A logger with one handler, and a receiver for it."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)
        self.logger, self.handler = self.attach()

    def attach(
        self, receiver: Receiver | None = None, **options: Any
    ) -> tuple[logging.Logger, ParselogHandler]:
        receiver = receiver or self.receiver
        options.setdefault("service", "shop")
        handler = ParselogHandler(receiver.path or "127.0.0.1", receiver.port, **options)
        logger = logging.Logger(self.id())
        logger.addHandler(handler)
        self.addCleanup(handler.close)
        return logger, handler

    def connected(self) -> None:
        self.logger.info("first")
        wait_until(lambda: self.handler._sender._direct)

    def run_script(self, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"host": "127.0.0.1", "port": self.receiver.port, **options}
        lines = [
            f"import sys; sys.path[:0] = {sys.path[:2]!r}",
            "import logging, os, time; from parselog_handler import ParselogHandler; from receiver import wait_until",
            f"handler = ParselogHandler(**{options!r})",
            "logging.basicConfig(handlers=[handler], level='INFO')",
            "logging.info('first')",
            *(line[12:] for line in script.splitlines()),
        ]
        command = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


class Fields(Case):
    def sent(self, *arguments: Any, level: int = logging.INFO, **options: Any) -> dict[str, Any]:
        before = len(self.receiver.records)
        self.logger.log(level, *arguments, **options)
        return self.receiver.wait_for(before + 1)[before]

    def test_a_record_has_its_message_its_place_and_what_the_call_added(self) -> None:
        record = self.sent("%s has %d", "cart", 3, extra={"cart": 7, "price": decimal.Decimal("1.50")})
        self.assertEqual(record["message"], "cart has 3")
        self.assertEqual(
            (record["service"], record["name"], record["levelname"]), ("shop", self.id(), "INFO")
        )
        self.assertEqual((record["cart"], record["price"]), (7, "1.50"))
        self.assertEqual((record["pathname"], record["process"]), (__file__, os.getpid()))
        self.assertAlmostEqual(record["created"], time.time(), delta=60)
        self.assertFalse({"msg", "args", "exc_info", "exc_text", "relativeCreated"} & set(record))

    def test_a_traceback_is_whole(self) -> None:
        def divide(depth: int) -> float:
            return divide(depth - 1) if depth else 1 / depth

        try:
            divide(2)
        except ZeroDivisionError:
            text = self.sent("failed", level=logging.ERROR, exc_info=True, stack_info=True)["exc_text"]
        self.assertTrue(text.startswith("Traceback (most recent call last):\n"), text)
        self.assertTrue(text.endswith("\nZeroDivisionError: division by zero"), text)
        self.assertEqual(text.count(", in divide\n"), 3)
        self.assertNotIn("exc_text", self.sent("no exception", exc_info=True))

    def test_a_request_shows_method_path_and_user_and_nothing_else(self) -> None:
        request = mock.Mock(spec=["method", "path", "__dict__"], method="POST", path="/pay")
        request.__dict__.update(user=mock.Mock(spec=["pk"], pk=7), body=b"secret", COOKIES={"id": "secret"})
        record = self.sent(
            "Internal Server Error: %s", "/pay", extra={"request": request, "status_code": 500}
        )
        self.assertEqual(record["request"], {"method": "POST", "path": "/pay", "user_id": 7})
        self.assertEqual(record["status_code"], 500)
        with socket.socket() as other:  # what Django's own server calls a request
            self.assertEqual(self.sent("broken pipe", extra={"request": other})["request"], "<socket>")

    def test_a_user_that_nobody_fetched_is_not_fetched_by_a_log_call(self) -> None:
        class SimpleLazyObject:
            __module__ = "django.utils.functional"

            def __getattr__(self, name: str) -> None:
                raise AssertionError("a log call asks the database")

        request = mock.Mock(spec=["method", "path", "__dict__"], method="GET", path="/")
        request.__dict__.update(user=SimpleLazyObject())
        self.assertEqual(
            self.sent("x", extra={"request": request})["request"], {"method": "GET", "path": "/"}
        )

    def test_whatever_the_call_added_arrives_as_json_or_as_text(self) -> None:
        class Broken:
            def __str__(self) -> str:
                raise RuntimeError("no text")

        circle: list[Any] = []
        circle.append(circle)
        extra = {
            "ratio": float("nan"),
            "circle": circle,
            "by_pair": {(1, 2): "a"},
            "broken": Broken(),
            "ok": [1, None],
        }
        record = self.sent("\udc80 half a character, \0", extra=extra)
        self.assertEqual(record["message"], "\udc80 half a character, \0")
        self.assertEqual((record["ratio"], record["circle"], record["ok"]), ("nan", "[[...]]", [1, None]))
        self.assertEqual((record["by_pair"], record["broken"]), ("{(1, 2): 'a'}", "<Broken>"))

    def test_arguments_that_do_not_fit_are_shown(self) -> None:
        record = self.sent("%d items", "three")
        self.assertEqual((record["message"], record["args"]), ("%d items", ["three"]))
        self.assertIn("number is required", record["format_error"])

    def test_an_event_of_structlog_is_a_message_and_its_fields(self) -> None:
        event = {"event": "paid", "cart": 7, "name": "Ann"}
        record = self.sent(event, extra={"_name": "shop", "_logger": self.logger})
        self.assertEqual((record["message"], record["cart"]), ("paid", 7))
        self.assertEqual((record["name"], record["name_"]), (self.id(), "Ann"))
        self.assertFalse({"event", "_name", "_logger"} & set(record))

    def test_a_record_that_is_too_large_is_cut_and_says_so(self) -> None:
        for text in ("x" * 2_000_000, "\U0001f600" * 400_000):
            record = self.sent(text, extra={"rest": text})
            self.assertGreater(record["cut_from_bytes"], 2_000_000)
            self.assertTrue(text.startswith(record["message"]) and len(record["message"]) > 5_000)
            self.assertIsInstance(record["created"], float)


class Places(Case):
    def test_a_unix_socket_takes_records_too(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(os.path.join(folder, "socket"))
            self.addCleanup(receiver.stop)
            self.attach(receiver)[0].info("hello")
            self.assertEqual(receiver.wait_for(1)[0]["message"], "hello")

    def test_the_environment_decides_if_the_call_does_not(self) -> None:
        environment = {"PARSELOG_LOG_HOST": "localhost", "PARSELOG_LOG_PORT": "7"}
        with mock.patch.dict(os.environ, environment):
            handler, named = ParselogHandler(), ParselogHandler("collector")
        self.assertEqual((handler.host, handler.port), ("localhost", 7))
        self.assertEqual((named.host, named.port), ("collector", 9020))
        self.assertEqual((ParselogHandler().host, ParselogHandler().port), ("127.0.0.1", 9020))

    def test_dict_config_makes_one_and_a_new_configuration_closes_the_old(self) -> None:
        settings = {
            "class": "parselog_handler.ParselogHandler",
            "host": "127.0.0.1",
            "port": self.receiver.port,
        }
        config = {"version": 1, "handlers": {"parselog": {**settings, "service": "shop", "level": "INFO"}}}
        for number in range(3):
            logging.config.dictConfig({**config, "root": {"handlers": ["parselog"], "level": "DEBUG"}})
            logging.debug("less than the handler's level")
            logging.info("configuration %d", number)
        logging.config.dictConfig({"version": 1})
        self.assertEqual(self.receiver.wait_for(3)[2]["message"], "configuration 2")
        self.assertEqual(len(self.receiver.connections), 3)


class Losses(Case):
    def test_records_wait_for_a_receiver_that_is_away(self) -> None:
        self.receiver.stop()
        for number in range(500):
            self.logger.info("%d", number)
        self.receiver.start()
        self.receiver.wait_for(500)
        self.assertEqual(self.receiver.messages, [str(number) for number in range(500)])

    def test_a_receiver_that_is_restarted_again_and_again_gets_everything_in_order(self) -> None:
        for number in range(1000):
            self.logger.info("%d", number)
            if number % 100 == 50:
                self.receiver.wait_for(number + 1)
                self.receiver.stop()
            if number % 100 == 60:
                self.receiver.start()
        self.receiver.wait_for(1000)
        self.assertEqual(self.receiver.messages, [str(number) for number in range(1000)])
        self.assertEqual(len(self.receiver.connections), 11)

    def test_a_full_queue_counts_what_it_drops_and_says_so_in_the_gap(self) -> None:
        self.receiver.stop()
        logger, handler = self.attach(queue_records=100)
        for number in range(150):
            logger.info("%d", number)
        for number in range(20):
            logger.error("error %d", number)
        self.assertEqual(handler.dropped, 60 + 10)
        self.receiver.start()
        wait_until(lambda: handler._sender._direct)
        logger.info("after")
        kept = [str(number) for number in range(90)] + [f"error {number}" for number in range(10)]
        notice = self.receiver.wait_for(102)[100]
        self.assertEqual(self.receiver.messages[:100] + self.receiver.messages[101:], [*kept, "after"])
        self.assertEqual((notice["dropped_records"], notice["levelname"]), (70, "WARNING"))
        self.assertIn("dropped 70 records", notice["message"])
        self.assertEqual((notice["service"], notice["name"]), ("shop", "parselog_handler"))

    def test_a_receiver_that_does_not_read_holds_up_one_call_for_the_bound_and_no_other(self) -> None:
        receiver = Receiver(reads=False)
        self.addCleanup(receiver.stop)
        logger, handler = self.attach(receiver, queue_records=1000, queue_wait=1.0)
        took = []
        for number in range(40_000):
            before = time.monotonic()
            logger.info("%d", number)
            took.append(time.monotonic() - before)
            if handler.dropped > 1000:
                break
        self.assertEqual(sum(seconds >= 1.0 for seconds in took), 1, sorted(took)[-5:])
        receiver.reads.set()
        wait_until(lambda: handler._sender._direct)
        sent = len(took)
        wait_until(lambda: sum(record.get("dropped_records", 1) for record in receiver.records) == sent)
        numbers = [int(record["message"]) for record in receiver.records if "dropped_records" not in record]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(len(numbers) + handler.dropped, sent)

    def test_what_was_not_acknowledged_is_sent_again_and_what_was_is_not(self) -> None:
        logger, handler = self.attach(acknowledged=True)
        for number in range(1000):
            logger.info("%d", number)
        handler.flush()
        self.assertEqual((handler._sender._held, handler._sender._queued_bytes), (0, 0))
        self.receiver.acknowledges.clear()
        for number in range(1000, 1500):
            logger.info("%d", number)
        self.receiver.wait_for(1500)
        self.receiver.stop()
        self.receiver.acknowledges.set()
        self.receiver.start()
        self.receiver.wait_for(2000)
        handler.flush()
        self.assertEqual((handler._sender._held, handler._sender._queued_bytes), (0, 0))
        first, second = ([int(record["message"]) for record in records] for records in self.receiver.connections)
        self.assertEqual((first, second), (list(range(1500)), list(range(1000, 1500))))

    def test_what_nobody_acknowledges_fills_the_queue_and_counts_as_lost(self) -> None:
        self.receiver.acknowledges.clear()
        logger, handler = self.attach(acknowledged=True, queue_records=100, flush_timeout=0.2)
        for number in range(200):
            logger.info("%d", number)
        self.assertEqual((handler.dropped, handler._sender._held), (110, 90))
        self.receiver.acknowledges.set()
        logger.error("there is room for errors")
        handler.flush()
        self.assertEqual(handler._sender._held, 0)

    def test_a_unix_socket_that_would_acknowledge_nothing_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            ParselogHandler("/run/parselog", acknowledged=True)

    def test_a_record_whose_log_call_returned_outlives_its_process(self) -> None:
        script = """
            wait_until(lambda: handler._sender._direct)
            logging.info("last words")
            os.kill(os.getpid(), 9)
        """
        self.assertEqual(self.run_script(script).returncode, -signal.SIGKILL)
        self.receiver.wait_for(2)
        self.assertEqual(self.receiver.messages, ["first", "last words"])

    @unittest.skipUnless(hasattr(signal, "SIGPIPE"), "this system has no pipes that kill")
    def test_a_receiver_that_hangs_up_kills_no_process_that_dies_of_broken_pipes(self) -> None:
        script = """
            import signal, socket
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            wait_until(lambda: handler._sender._direct)
            handler._sender._socket.shutdown(socket.SHUT_WR)
            logging.info("second")
        """
        self.assertEqual(self.run_script(script).returncode, 0)
        self.receiver.wait_for(2)
        self.assertEqual(self.receiver.messages, ["first", "second"])

    def test_a_process_that_ends_sends_what_waits(self) -> None:
        script = """
            for number in range(2000):
                logging.info("%d", number)
        """
        self.assertEqual(self.run_script(script).stderr, "")
        self.receiver.wait_for(2001)
        self.assertEqual(self.receiver.messages, ["first", *map(str, range(2000))])

    def test_a_process_that_can_not_start_a_thread_any_more_sends_at_its_end(self) -> None:
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name == "parselog":
                raise RuntimeError("can't start new thread at interpreter shutdown")
            start(thread)

        with mock.patch.object(threading.Thread, "start", refuse):
            self.logger.info("a late record")
            self.logger.info("a later one")
            self.handler.flush()
        self.receiver.wait_for(2)
        self.assertEqual(self.receiver.messages, ["a late record", "a later one"])

    def test_the_end_of_a_process_waits_no_longer_than_the_bound_and_says_what_is_lost(self) -> None:
        self.receiver.stop()
        before = time.monotonic()
        said = self.run_script("", flush_timeout=0.3)
        self.assertEqual(said.stderr, "parselog_handler: 1 records did not reach 127.0.0.1\n")
        self.assertLess(time.monotonic() - before, 30)


class Neighbours(Case):
    def test_threads_log_side_by_side_each_in_its_order(self) -> None:
        def log(name: int) -> None:
            for number in range(500):
                self.logger.info("%d %d", name, number)

        threads = [threading.Thread(target=log, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pairs = [tuple(map(int, record["message"].split())) for record in self.receiver.wait_for(4000)]
        self.assertEqual(len(pairs), 4000)
        for name in range(8):
            self.assertEqual([number for who, number in pairs if who == name], list(range(500)))

    @unittest.skipUnless(hasattr(os, "fork"), "this system can't fork")
    def test_forked_children_have_connections_of_their_own(self) -> None:
        self.connected()
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for number in range(300):
                    self.logger.info("child %d %d", child, number)
                self.handler.flush()
                os._exit(0)
            children.append(pid)
            self.logger.info("parent %d", child)
        for pid in children:
            os.waitpid(pid, 0)
        self.receiver.wait_for(1 + 4 + 1200)
        for records in self.receiver.connections:
            self.assertEqual(len({record["process"] for record in records}), 1)
        self.assertEqual(sorted(map(len, self.receiver.connections)), [5, 300, 300, 300, 300])

    @unittest.skipUnless(hasattr(os, "fork"), "this system can't fork")
    def test_a_fork_while_the_thread_connects_for_the_first_time_leaves_nothing_locked(self) -> None:
        script = """
            time.sleep(float(os.environ["DELAY"]))
            child = os.fork()
            logging.info("child" if child == 0 else "parent")
            handler.flush()
            os._exit(0 if child == 0 else os.waitpid(child, 0)[1])
        """
        for delay in range(10):
            with mock.patch.dict(os.environ, DELAY=str(delay * 0.0005)):
                self.assertEqual(self.run_script(script, flush_timeout=30).returncode, 0)
        self.receiver.wait_for(30)
        self.assertEqual(sorted(self.receiver.messages), ["child"] * 10 + ["first"] * 10 + ["parent"] * 10)

    @unittest.skipUnless(hasattr(os, "fork"), "this system can't fork")
    def test_what_waits_at_a_fork_is_sent_by_the_parent_alone(self) -> None:
        self.receiver.stop()
        self.logger.info("before")
        pid = os.fork()
        if pid == 0:
            self.logger.info("child")
            wait_until(lambda: self.handler._sender._direct)
            os._exit(0)
        self.logger.info("parent")
        self.receiver.start()
        os.waitpid(pid, 0)
        self.receiver.wait_for(3)
        self.assertEqual(sorted(self.receiver.messages), ["before", "child", "parent"])

    @unittest.skipUnless(hasattr(signal, "setitimer"), "this system has no timers")
    def test_a_signal_handler_may_log_in_the_middle_of_a_log_call(self) -> None:
        self.connected()
        signals: list[int] = []

        def interrupt(*_: object) -> None:
            signals.append(len(signals))
            self.logger.warning("signal %d", signals[-1])

        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            for number in range(5000):
                self.logger.info("%d", number)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        self.receiver.wait_for(1 + 5000 + len(signals))
        numbers = [message for message in self.receiver.messages[1:] if not message.startswith("signal")]
        self.assertEqual(numbers, [str(number) for number in range(5000)])
        self.assertGreater(len(signals), 20)

    def test_an_application_never_sees_an_error_of_its_log(self) -> None:
        with mock.patch.object(parselog_handler, "_frame", side_effect=MemoryError), mock.patch(
            "sys.stderr"
        ) as said:
            self.logger.info("hello")
        self.assertTrue(said.write.called)

    def test_a_handler_that_was_closed_connects_anew(self) -> None:
        self.connected()
        self.handler.close()
        self.logger.info("again")
        self.receiver.wait_for(2)
        self.assertEqual([len(records) for records in self.receiver.connections], [1, 1])


if __name__ == "__main__":
    unittest.main()
