"""The base models that there are: the catalog, and those that come with the product."""
