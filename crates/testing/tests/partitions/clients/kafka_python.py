"""kafka-python."""

import time

import driver
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError


def settings(task):
    """Java's names, with underscores."""
    return {name.replace(".", "_"): value for name, value in task.command["settings"].items()}


def produce(task):
    producer = KafkaProducer(**settings(task))
    for value, key, partition in task.records():
        begun = time.monotonic()
        try:
            future = producer.send(task.topic, value.encode(), key, partition=partition)
        except KafkaError as error:
            failed(task, value, begun)(error)
            continue
        future.add_callback(acked(task, value))
        future.add_errback(failed(task, value, begun))
    producer.flush()
    producer.close()


def acked(task, value):
    return lambda put: task.say(value=value, partition=put.partition, offset=put.offset)


def failed(task, value, begun):
    def told(error):
        after = int(1000 * (time.monotonic() - begun))
        task.failed(type(error).__name__, error, value=value, after=after)

    return told


def consume(task):
    consumer = KafkaConsumer(**settings(task))
    indexes = task.command.get("partitions")
    if indexes is None:
        consumer.subscribe([task.topic], listener=Announce(task))
    else:
        partitions = [TopicPartition(task.topic, index) for index in indexes]
        consumer.assign(partitions)
        task.say(assigned=sorted(indexes))
        if task.command.get("seek") is not None:
            for partition in partitions:
                consumer.seek(partition, task.command["seek"])
    while not task.stopped:
        try:
            poll(task, consumer)
        except KafkaError as error:
            task.failed(type(error).__name__, error)
    consumer.close()


def poll(task, consumer):
    polled = consumer.poll(timeout_ms=100)
    for records in polled.values():
        for record in records:
            task.say(value=record.value.decode(), partition=record.partition, offset=record.offset)
    if task.command.get("commit") and polled:
        consumer.commit()
        task.say(committed=True)


def offsets(task):
    consumer = KafkaConsumer(**settings(task))
    partitions = [TopicPartition(task.topic, index) for index in task.command["partitions"]]
    ask(task, "beginning", lambda: consumer.beginning_offsets(partitions))
    ask(task, "end", lambda: consumer.end_offsets(partitions))
    if task.command["settings"].get("group.id"):
        ask(task, "committed", lambda: {one: consumer.committed(one) for one in partitions})
    consumer.close()


def ask(task, what, question):
    try:
        for partition, offset in question().items():
            task.say(asked=what, partition=partition.partition, says=str(offset))
    except (KafkaError, KeyError) as error:
        task.failed(type(error).__name__, error, asked=what)


class Announce(ConsumerRebalanceListener):
    def __init__(self, task):
        self.task = task

    def on_partitions_assigned(self, assigned):
        self.task.say(assigned=sorted(partition.partition for partition in assigned))

    def on_partitions_revoked(self, revoked):
        self.task.say(revoked=sorted(partition.partition for partition in revoked))


if __name__ == "__main__":
    driver.run({"produce": produce, "consume": consume, "offsets": offsets})
