"""The migrations make the tables that the code knows, on both databases."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from broker.tables import metadata


def test_the_migrated_tables_are_those_of_the_code(engine):
    ours = set(metadata.tables)

    def only_ours(thing, name, type_, reflected, compare_to):
        table = name if type_ == "table" else thing.table.name
        return table in ours

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": only_ours, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
