"""The settings of a run, and reading them."""

from i2i.config.names import did_you_mean as did_you_mean
from i2i.config.names import setting_names as setting_names
from i2i.config.presets import find_config as find_config
from i2i.config.presets import preset_names as preset_names
from i2i.config.presets import presets_folder as presets_folder
from i2i.config.reading import differences as differences
from i2i.config.reading import load_config as load_config
from i2i.config.reading import parse as parse
from i2i.config.reading import to_yaml as to_yaml
from i2i.config.yamlfile import read_yaml as read_yaml
