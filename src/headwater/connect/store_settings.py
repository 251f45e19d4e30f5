"""The settings of who asks an object store, as every definition that has them shows them. Imports no driver."""

from __future__ import annotations

from headwater.model.setting import Setting, SettingKind


def _text(name: str, label: str, description: str, *, secret: bool = False) -> Setting:
    return Setting(name=name, kind=SettingKind.STRING, label=label, description=description, sensitive=secret)


STORE_SETTINGS = (
    _text(
        "aws_access_key_id", "AWS key", "Who asks S3. Without it, the AWS chain: environment, profile, machine role."
    ),
    _text("aws_secret_access_key", "AWS secret", "The key's secret.", secret=True),
    _text("aws_session_token", "AWS session token", "For keys that were lent for a time.", secret=True),
    _text("aws_region", "AWS region", "The bucket's region, as `eu-west-1`."),
    _text("aws_endpoint_url", "S3 endpoint", "Another store that speaks S3, as `https://minio.example.com:9000`."),
    _text(
        "gcs_access_token", "Google token", "Who asks Google Cloud Storage. Without it, Google's chain.", secret=True
    ),
    _text("gcs_endpoint_url", "Google endpoint", "Another address of Google Cloud Storage."),
    _text("azure_storage_account", "Azure account", "The storage account, when the address does not name it."),
    _text("azure_storage_key", "Azure key", "The account's key. Without any, Azure's default chain.", secret=True),
    _text("azure_sas_token", "Azure SAS token", "A shared access signature, instead of the key.", secret=True),
    _text("azure_tenant_id", "Azure tenant", "Of a service principal."),
    _text("azure_client_id", "Azure client", "The service principal, or a managed identity."),
    _text("azure_client_secret", "Azure client secret", "The service principal's secret.", secret=True),
    _text("azure_endpoint_url", "Azure endpoint", "Another address of Azure Blob Storage."),
)
