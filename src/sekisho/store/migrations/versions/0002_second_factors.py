"""Second factors: their secrets, recovery codes, sign-ins that wait for a code, and when a sign-in gave one."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "second_factors",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.name"], name=op.f("fk_second_factors_person")),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["people.name"], name=op.f("fk_recovery_codes_person")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_person"), "recovery_codes", ["person"], unique=False)
    op.create_table(
        "sign_in_steps",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.name"], name=op.f("fk_sign_in_steps_person")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_sign_in_steps")),
    )
    op.create_index(op.f("ix_sign_in_steps_person"), "sign_in_steps", ["person"], unique=False)
    op.add_column("sign_ins", sa.Column("second_factor_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attempts", sa.Column("is_code", sa.Boolean(), server_default=sa.false(), nullable=False))
