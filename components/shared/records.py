"""The records that flow between the steps, and the names of their fields, files and properties.

caption_ingest  -> examples              one tf.Example per image, see `record_files.EXAMPLE_SPEC`
                -> rejects               JSON lines of {image_id, line, reason, detail, rows, source}
tokenizer       -> transformed_examples  one tf.Example per image: image_id, ids, references
feature store   -> shards                one tf.Example per image content, see `record_files.FEATURE_SPEC`
bleu_evaluator  -> predictions           COCO results format, [{"image_id", "caption"}]
report          -> report                one HTML file

Nothing heavy is imported: data is looked at before TensorFlow is loaded.
"""

# splits; BLEU is reported on TEST, checkpoints are chosen on EVAL
TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)

# fields of `examples`
IMAGE_ID = "image_id"  # the image's file name, as the captions name it
IMAGE_URI = "image_uri"  # its path below the data root
SHA256 = "sha256"  # of the file's bytes, hexadecimal
WIDTH, HEIGHT = "width", "height"  # pixels
CAPTIONS = "captions"  # [n] raw sentences
CAPTION_WORDS = "caption_words"  # [n] words of each, of `words.divide`

# fields of `transformed_examples`, beside IMAGE_ID
IDS = "ids"  # int64 [n, T]: <start> words <end>, padded with PAD_ID
REFERENCES = "references"  # [n] cleaned sentences, words between single spaces, nothing mapped to <unk>

# the first lines of the vocabulary file, so that a word's ID is its line number
PAD, UNK, START, END = "<pad>", "<unk>", "<start>", "<end>"
RESERVED_TOKENS = (PAD, UNK, START, END)
PAD_ID, UNK_ID, START_ID, END_ID = range(len(RESERVED_TOKENS))
VOCABULARY = "vocabulary"  # the name of the vocabulary in the transform graph

# fields of a feature store's shards, beside SHA256
FEATURE = "feature"  # raw little-endian float16 [positions, channels]

# custom properties of artifacts
DATA_ROOT = "data_root"  # of `examples`: the directory that IMAGE_URI is relative to
SPLITS_FROM = "splits_from"  # of `examples`: one of the two below
OFFICIAL, HASHED = "official", "hashed"  # the dataset itself defines the splits; or a hash of the images' names
COUNTS = "counts"  # JSON; of `examples`: {"images": {split: n}, "captions": n}; of `rejects`: {reason: n}
CHECKPOINT_DIR = "checkpoint_dir"  # of `weights`: the checkpoints of their training, which are no longer needed
COMPUTED = "computed"  # of `features`: number of images whose features this run computed
WARNINGS = "warnings"  # JSON list; of `examples` and `anomalies`: what is odd about the data that passed
DECISION = "decision"  # of `evaluation` and `blessing`: one of the three below
BLESSED, REJECTED, UNCHANGED = "blessed", "rejected", "unchanged"
CANDIDATE_ID = "candidate_id"  # of `evaluation`: the model that was measured
TEST_SET = "test_set"  # of `evaluation`: hash of the images and references of the evaluation
RULES = "rules"  # JSON list; of `evaluation`: each rule with its value and verdict
NUM_PARAMETERS = "num_parameters"  # of weights: the number of their numbers
MODEL_LABEL = "model_label"  # of weights, models and training logs: "transformer", "gru", "transformer_2"
COMPARISON_MODELS = "comparison_models"  # JSON list; of `evaluation`: IDs of the comparison models it covers
ROLLED_BACK = "rolled_back"  # of a model: when it was rolled back; it is never blessed again
INCOMPLETE = "incomplete"  # of any: which files could not be read when it was made; it is never used again
TOKENIZATION = "tokenization"  # exec property: JSON of `words.Tokenization`, of the tokenizer's settings
FINGERPRINT = "fingerprint"  # exec property: what the driver read from outside (data, weights, a file)

# files of `evaluation`
EVALUATION_FILE = "evaluation.json"  # decision, rules, metrics with their intervals
IMAGES_FILE = "images.json"  # each test image with its references, captions and their scores
REPORT_FILE = "report.html"  # of `report`
REJECTS_FILE = "rejects.jsonl"  # of `rejects`
