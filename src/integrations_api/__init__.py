"""Connect service-management systems; keep their incidents in a versioned knowledge base in PostgreSQL."""
