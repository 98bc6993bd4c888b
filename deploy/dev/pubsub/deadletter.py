"""The message that goes to a dead-letter topic.

https://cloud.google.com/pubsub/docs/dead-letter-topics
"""

from deploy.dev.pubsub.messages import Draft, Message, content_of, draft_of
from deploy.dev.pubsub.names import project_of, short
from shared.times import rfc3339


def dead_letter(message: Message, subscription: str, attempts: int) -> Draft:
    """The same data and attributes, with where it comes from and how often it was tried."""
    content = content_of(message.content)
    source = {
        "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
        "CloudPubSubDeadLetterSourceSubscription": short(subscription),
        "CloudPubSubDeadLetterSourceSubscriptionProject": project_of(subscription),
        "CloudPubSubDeadLetterSourceTopicPublishTime": rfc3339(message.published_at).replace("Z", "+00:00"),
    }
    attributes = {**content.get("attributes", {}), **source}
    return draft_of(content.get("data", ""), attributes, content.get("orderingKey", ""))
