"""Settings of Exporter: how the exported model decodes captions."""

from components.shared.models.decoding_settings import DecodingSettings as DecodingSettings
