"""From a customer's database to a model that answers questions with SQL."""
