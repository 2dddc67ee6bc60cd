"""The part of a driver that does not depend on the client.

A driver takes tasks as lines of JSON on standard input. Each runs in a thread
of its own and says what happens by lines of JSON with its id; the last of them
has "done". A line with "stop" ends a task that goes on until then.
"""

import json
import sys
import threading
import time


class Task:
    def __init__(self, command):
        self.id = command["id"]
        self.command = command
        self.topic = command.get("topic")
        self.stopped = False

    def say(self, **fields):
        # One write a line: threads do not write into each other's.
        sys.stdout.write(json.dumps({"id": self.id, **fields}) + "\n")
        sys.stdout.flush()

    def failed(self, name, message, **fields):
        self.say(**fields, error=name, message=str(message))

    def records(self):
        """The records to send, at their pace."""
        pace = self.command.get("pace")
        begun = time.monotonic()
        for number, record in enumerate(self.command["records"]):
            if self.stopped:
                return
            if pace:
                time.sleep(max(0, begun + number / pace - time.monotonic()))
            key = record.get("key")
            yield record["value"], key and key.encode(), record.get("partition")


def run(works):
    """Takes tasks until standard input ends. `works` has what they do by name."""
    tasks = {}
    for line in sys.stdin:
        command = json.loads(line)
        if command.get("stop"):
            tasks[command["id"]].stopped = True
            continue
        task = tasks[command["id"]] = Task(command)
        work = works[command["do"]]
        threading.Thread(target=do, args=(work, task), daemon=True).start()


def do(work, task):
    try:
        work(task)
        task.say(done=True)
    except Exception as error:
        task.failed(type(error).__name__, error, done=True)
