"""Ground floor: what a provider declares and what crosses the port to a transport."""
