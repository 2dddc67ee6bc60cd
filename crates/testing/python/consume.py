"""Reads a topic from the beginning with kafka-python until it is killed.

Prints one JSON line a record, {"partition", "offset", "value"}, and
{"assigned": [partition, ...]} whenever its partitions change.
"""

import json
import sys

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition


class Announce(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        say(assigned=[partition.partition for partition in assigned])


def main():
    settings = json.loads(sys.argv[1])
    topic = settings.pop("topic")
    # A broker that is away at the start is waited for, as one that goes away is.
    settings.setdefault("bootstrap_timeout_ms", 60_000)
    consumer = KafkaConsumer(auto_offset_reset="earliest", **settings)
    if settings.get("group_id"):
        consumer.subscribe([topic], listener=Announce())
    else:
        partitions = consumer.partitions_for_topic(topic) or {0}
        consumer.assign([TopicPartition(topic, partition) for partition in partitions])
    while True:
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                value = record.value.decode("utf-8", "replace")
                say(partition=record.partition, offset=record.offset, value=value)
        sys.stdout.flush()


def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")


if __name__ == "__main__":
    main()
