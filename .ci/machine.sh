# shellcheck shell=bash
# What .ci/run knows about the machine that it runs on: programs that can be installed, and what may lie beside the checkout:
# a Debian 13 for TFX 1.21 and for the image, an S3 server, and a Kubeflow Pipelines server. Sourced in the root of the checkout.

beside=$(realpath -m ../shared)
server_state=/tmp/kfp # data, logs and addresses of the server
store_state=/tmp/s3-ci # the same of the object store
image=localhost/captions:ci
sealed_image=localhost/captions:sealed # the same, in which only root may write
container=
clone=
started_server=

has() { command -v "$1" >/dev/null; }
is_root() { [ "$(id -u)" = 0 ]; }
clean_up() {
  [ ! -e "$store_state/pid" ] || "$beside/s3/stop" "$store_state"
  [ -z "$clone" ] || rm -rf "$clone"
  [ -z "$started_server" ] || "$beside/kfp/stop" "$server_state"
}
trap clean_up EXIT

# ---- each needs something; the variable says what, for the list of what was left out
chromium_needs="Chromium, which is missing and can't be installed"
has_chromium() {
  has chromium || { is_root && has apt-get && apt-get update -q >/dev/null && apt-get install -y -q chromium >/dev/null; }
}

store_needs="the program of an S3 server ($beside/s3/start is missing)"
has_store() { [ -x "$beside/s3/start" ]; }
on_store() ( # runs a command with a fresh store; benchmarks/s3_store.py describes the variables
  "$beside/s3/stop" "$store_state" --wipe
  export OFF=100 # beside one that somebody uses
  eval "$("$beside/s3/start" "$store_state")"
  export S3_PAUSE="'$beside/s3/stop' '$store_state'; sleep 20; '$beside/s3/start' '$store_state' >/dev/null"
  "$@" || exit
  "$beside/s3/stop" "$store_state" --wipe
)

mariadb_needs="MariaDB, which is missing and can't be installed"
has_mariadb() {
  has mariadbd || { is_root && has apt-get && apt-get update -q >/dev/null \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mariadb-server >/dev/null; }
}

spark_needs="Java 17 and Maven"
has_spark() { has java && has mvn; }

debian_13_needs="a system with glibc 2.38 or later ($beside/debian13/run is missing)"
has_debian_13() { [ -x "$beside/debian13/run" ]; }
in_debian_13() { # runs a command there, in a clone of the checkout
  clone=$(mktemp -d)
  git clone --quiet . "$clone"
  (cd "$clone" && "$beside/debian13/run" "$@")
  rm -rf "$clone" # its packages take the space that the image needs
}

image_needs="buildah and $beside/debian13/base-image"
can_build_image() { [ -x "$beside/debian13/base-image" ] && { has buildah || { is_root && has apt-get; }; }; }

cluster_needs="the programs of a Kubeflow Pipelines server ($beside/kfp/start --ready, see its README.md)"
has_cluster() { [ -x "$beside/kfp/start" ] && "$beside/kfp/start" --ready "$server_state"; }

# ---- the image
image_arguments=(BUILDER="buildah build --isolation chroot --network host" IMAGE="$image"
  ARGS="--quiet --build-arg BASE=localhost/debian:13")

prepare_image() {
  if has buildah; then # two generations would need 20 GB
    buildah rmi --force "$image" "$sealed_image" >/dev/null 2>&1 || true
    buildah rmi --prune --force >/dev/null || true
  fi
  "$beside/debian13/base-image" # localhost/debian:13; installs buildah
}

start_container() {
  buildah images "$image"
  container=$(buildah from --pull-never "$image")
}

python_of_container() { echo "buildah run --isolation chroot --env TF_CPP_MIN_LOG_LEVEL=3 $container -- python"; }

# What runs in the sealed image needs only the volume, as on a read-only file system. After `make test-image`: TensorFlow
# wants a temporary directory.
seal_image() {
  buildah run --isolation chroot --user 0:0 "$container" -- find / -xdev -type d -perm /022 \
    -not -path '/proc/*' -not -path '/sys/*' -not -path '/dev/*' -exec chmod go-w {} +
  buildah commit --quiet --rm "$container" "$sealed_image"
}

# ---- the cluster
# Runs a command with a fresh server, whose steps run in the sealed image; tests/cluster/conftest.py describes the variables.
on_cluster() {
  "$beside/kfp/stop" "$server_state" --wipe
  # the object store's environment may come from a Python that does not exist any more
  "$server_state/moto/bin/python" -c "" 2>/dev/null || rm -rf "$server_state/moto"
  started_server=yes
  PATH=$PWD/.venv/bin:$PATH "$beside/kfp/start" "$server_state" # its node runs steps as processes of this environment
  # the tests see the volume where the steps mount it; the node links it only for processes, which are not the first
  local volume=$server_state/pvc/captions
  if [ -e /captions ] || [ -L /captions ]; then mv --no-target-directory /captions "$(mktemp -d)/captions"; fi
  mkdir -p "$volume"
  chmod 777 "$volume"
  ln -s --no-target-directory "$volume" /captions
  local stop_database="P=\$(cut -d' ' -f1 $server_state/pid/mariadb); kill \$P; while kill -0 \$P 2>/dev/null; do sleep .2; done"
  # shellcheck disable=SC2016 # the tests set RUN_ID
  env KUBECONFIG="$server_state/kubeconfig" KFP_HOST=http://127.0.0.1:18888 METADATA_HOST=127.0.0.1 METADATA_PORT=13306 \
    CLUSTER_IMAGE="$sealed_image" STEP_IMAGE=process POD_LOGS="$server_state/podlogs" \
    KILL_TRAINER='pkill -KILL -f "run_node --node Trainer --run-id $RUN_ID"' \
    DATABASE_PAUSE="$stop_database; sleep 10; '$beside/kfp/start' '$server_state'" "$@"
}
