"""Names as Kubeflow Pipelines writes them."""


def kfp_name(name: str) -> str:
    """Replaces what KFP's names, of lowercase letters, digits and dashes, do not allow.

    >>> kfp_name("Trainer_gru")
    'trainer-gru'
    """
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
