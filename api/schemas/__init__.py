"""The bodies of requests and answers, one file a resource."""
