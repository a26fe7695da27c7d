from django.db import migrations, models

from audit.triggers import append_only, create_functions


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='SinkCursor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sink', models.CharField(max_length=64, unique=True)),
                ('position', models.BigIntegerField(default=0)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('failing_since', models.DateTimeField(null=True)),
                ('retry_at', models.DateTimeField(null=True)),
                ('last_error', models.TextField(blank=True)),
            ],
        ),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('position', models.BigIntegerField(editable=False, null=True, unique=True)),
                ('seal', models.BigIntegerField(editable=False, null=True)),
                ('type', models.CharField(max_length=80)),
                ('subject', models.CharField(max_length=200)),
                ('actor', models.CharField(max_length=200)),
                ('actor_id', models.CharField(blank=True, max_length=64)),
                ('via', models.CharField(blank=True, max_length=80)),
                ('on_behalf_of', models.CharField(blank=True, max_length=200)),
                ('because', models.TextField(blank=True)),
                ('facts', models.JSONField(default=dict)),
                ('at', models.DateTimeField()),
                ('workspace', models.UUIDField(null=True)),
                ('run', models.UUIDField(null=True)),
                ('correlation_id', models.CharField(blank=True, max_length=64)),
                ('body', models.BinaryField()),
            ],
            options={
                'verbose_name': 'ledger entry',
                'verbose_name_plural': 'ledger',
                'indexes': [models.Index(condition=models.Q(('position__isnull', True)), fields=['id'], name='audit_unsealed'), models.Index(fields=['run', 'position'], name='audit_run_position'), models.Index(fields=['workspace', 'position'], name='audit_workspace_position'), models.Index(fields=['subject', 'position'], name='audit_subject_position'), models.Index(fields=['type', 'at'], name='audit_type_at')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('position__isnull', True), ('seal__isnull', True)), models.Q(('position__gte', 1), ('position__isnull', False), ('seal__gte', 1), ('seal__isnull', False)), _connector='OR'), name='audit_numbered_by_a_seal')],
            },
        ),
        migrations.CreateModel(
            name='Seal',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('first_position', models.BigIntegerField()),
                ('last_position', models.BigIntegerField(unique=True)),
                ('root', models.BinaryField(max_length=32)),
                ('digests', models.BinaryField()),
                ('edge', models.BinaryField()),
                ('sealed_at', models.DateTimeField()),
                ('kid', models.CharField(max_length=64)),
                ('signature', models.BinaryField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='audit_seal_numbered_from_one'), models.CheckConstraint(condition=models.Q(('last_position__gte', models.F('first_position'))), name='audit_seal_not_empty')],
            },
        ),
        create_functions(),
        append_only('audit_auditevent', write_once=('position', 'seal')),
        append_only('audit_seal'),
    ]
