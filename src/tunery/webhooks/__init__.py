"""Tells receivers of customers' what is over: webhooks."""
