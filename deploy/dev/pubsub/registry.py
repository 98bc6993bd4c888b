"""The topics and subscribers that there are, by name."""

from deploy.dev.pubsub.errors import not_found
from deploy.dev.pubsub.subscriber import Subscriber
from deploy.dev.pubsub.topics import Topic


class Registry:
    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.subscribers: dict[str, Subscriber] = {}
        self._of_topic: dict[str, list[Subscriber]] = {}

    def topic(self, name: str) -> Topic:
        if name not in self.topics:
            raise not_found(name)
        return self.topics[name]

    def subscriber(self, name: str) -> Subscriber:
        if name not in self.subscribers:
            raise not_found(name)
        return self.subscribers[name]

    def subscribers_of(self, topic: str) -> list[Subscriber]:
        """Those that get what is published now; asked for each message, hence remembered."""
        found = self._of_topic.get(topic)
        if found is None:
            found = [s for s in self.subscribers.values() if s.config.topic == topic and not s.config.detached]
            self._of_topic[topic] = found
        return found

    def put_topic(self, topic: Topic) -> None:
        self.topics[topic.name] = topic

    def put_subscriber(self, subscriber: Subscriber) -> None:
        """Call it whenever a subscriber's configuration has changed, too."""
        self.subscribers[subscriber.config.name] = subscriber
        self._of_topic.clear()

    def remove_topic(self, name: str) -> None:
        del self.topics[name]

    def remove_subscriber(self, name: str) -> None:
        del self.subscribers[name]
        self._of_topic.clear()
