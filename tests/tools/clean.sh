#!/usr/bin/env bash
# Removes what the Makefile made, and nothing else: containers and networks by the label that create.yml gives them, images that no other
# container uses, and the ignored folders of this checkout. Docker Engine and Debian packages stay.
set -euo pipefail
cd "$(dirname "$0")/../.."

if docker info >/dev/null 2>&1; then
    for lab in "${LAB_NAME:-arxos-lab}" "${TEST_LAB_NAME:-arxos-test}" "${BENCH_LAB_NAME:-arxos-bench}"; do
        mapfile -t containers < <(docker ps -aq --filter "label=arxos.lab=$lab")
        if [ ${#containers[@]} -gt 0 ]; then
            echo "clean: ${#containers[@]} hosts of $lab"
            docker rm -fv "${containers[@]}" >/dev/null
        fi
        if docker network inspect "$lab" >/dev/null 2>&1; then docker network rm "$lab" >/dev/null; fi
    done
    for image in $(docker image ls -q --filter reference='arxos-platform:*' --filter reference='arxos-lab-controller:*' \
        --filter reference='arxos-lab-debian:*'); do
        docker image rm "$image" >/dev/null 2>&1 || echo "clean: image $image stays, another lab uses it"
    done
fi
rm -rf .venv .ansible .lab dist build inventories/lab/group_vars/all/vault.yml
find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
echo "clean: done"
