"""What people look at: the demo's page, its charts, and the tables of the README."""
