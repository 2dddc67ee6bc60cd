"""Sends `key<TAB>value` lines from standard input with kafka-python.

Prints one JSON line a record as its outcome is known:
{"value", "partition", "offset"} or {"value", "error", "message"}.
"""

import json
import sys

from kafka import KafkaProducer


def main():
    settings = json.loads(sys.argv[1])
    topic = settings.pop("topic")
    # A broker that is away at the start is waited for, as one that goes away is.
    settings.setdefault("bootstrap_timeout_ms", 60_000)
    producer = KafkaProducer(acks="all", enable_idempotence=True, **settings)

    def acked(value):
        def told(metadata):
            say(value=value, partition=metadata.partition, offset=metadata.offset)

        return told

    def failed(value):
        def told(error):
            say(value=value, error=type(error).__name__, message=str(error))

        return told

    for line in sys.stdin:
        key, value = line.rstrip("\n").split("\t", 1)
        try:
            future = producer.send(topic, key=key.encode(), value=value.encode())
        except Exception as error:
            failed(value)(error)
            continue
        future.add_callback(acked(value))
        future.add_errback(failed(value))
    producer.flush()
    producer.close()


def say(**fields):
    # One write a line: callbacks run on the sender's thread.
    sys.stdout.write(json.dumps(fields) + "\n")


if __name__ == "__main__":
    main()
