"""The types of requests and responses that several files of the API share."""
