"""confluent-kafka, which is librdkafka."""

import time

import driver
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


def produce(task):
    producer = Producer(task.command["settings"])
    for value, key, partition in task.records():
        where = {} if partition is None else {"partition": partition}
        begun = time.monotonic()
        try:
            producer.produce(task.topic, value, key, on_delivery=told(task, value, begun), **where)
        except KafkaException as error:
            # A producer that has met a fatal error takes nothing more.
            task.failed(error.args[0].name(), error.args[0].str(), value=value)
        producer.poll(0)
    producer.flush()


def told(task, value, begun):
    def told(error, message):
        if error is None:
            task.say(value=value, partition=message.partition(), offset=message.offset())
        else:
            after = int(1000 * (time.monotonic() - begun))
            task.failed(error.name(), error.str(), value=value, after=after)

    return told


def consume(task):
    consumer = Consumer(task.command["settings"], error_cb=lambda error: None)
    partitions = task.command.get("partitions")
    if partitions is None:
        consumer.subscribe(
            [task.topic],
            on_assign=lambda _, given: task.say(assigned=indexes(given)),
            on_revoke=lambda _, taken: task.say(revoked=indexes(taken)),
        )
    else:
        offset = task.command.get("seek")
        at = {} if offset is None else {"offset": offset}
        consumer.assign([TopicPartition(task.topic, index, **at) for index in partitions])
        task.say(assigned=sorted(partitions))
    commit = 0
    while not task.stopped:
        poll(task, consumer)
        if task.command.get("commit") and time.monotonic() > commit:
            commit = time.monotonic() + 0.2
            commit_all(task, consumer)
    consumer.close()


def poll(task, consumer):
    message = consumer.poll(0.1)
    if message is None:
        return
    error = message.error()
    if error is not None:
        task.failed(error.name(), error.str(), partition=message.partition())
        return
    value = message.value().decode()
    task.say(value=value, partition=message.partition(), offset=message.offset())


def commit_all(task, consumer):
    try:
        for done in consumer.commit(asynchronous=False):
            if done.error is not None:
                task.failed(done.error.name(), done.error.str(), partition=done.partition)
        task.say(committed=True)
    except KafkaException as error:
        code = error.args[0]
        # There is nothing to commit yet.
        if code.code() != KafkaError._NO_OFFSET:
            task.failed(code.name(), code.str())


def offsets(task):
    consumer = Consumer(task.command["settings"])
    partitions = [TopicPartition(task.topic, index) for index in task.command["partitions"]]
    for partition in partitions:
        try:
            low, high = consumer.get_watermark_offsets(partition, timeout=3)
            task.say(asked="beginning", partition=partition.partition, says=str(low))
            task.say(asked="end", partition=partition.partition, says=str(high))
        except KafkaException as error:
            task.failed(error.args[0].name(), error.args[0].str(), asked="end", partition=partition.partition)
    try:
        for known in consumer.committed(partitions, timeout=3):
            if known.error is not None:
                task.failed(known.error.name(), known.error.str(), asked="committed", partition=known.partition)
            else:
                task.say(asked="committed", partition=known.partition, says=str(known.offset))
    except KafkaException as error:
        task.failed(error.args[0].name(), error.args[0].str(), asked="committed")
    consumer.close()


def indexes(partitions):
    return sorted(partition.partition for partition in partitions)


if __name__ == "__main__":
    driver.run({"produce": produce, "consume": consume, "offsets": offsets})
