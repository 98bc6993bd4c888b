"""A gcloud for tests: the program, the small Google Cloud behind it, and the check of its command lines."""
