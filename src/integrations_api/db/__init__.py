"""The database: base classes, engine, sessions, notifications, migrations, the bundled PostgreSQL."""
