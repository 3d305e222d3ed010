"""Sources that are simulated for the demo and the tests. Imports nothing else of the product."""
