#!/usr/bin/env bash
# Writes components/monitoring/alerts.yaml: the rules of deploy/prometheus/alerts.yml as a PrometheusRule, as Kustomize
# reads no file that is not a resource.
set -euo pipefail
cd "$(dirname "$0")"

{
    cat <<'EOF'
# Written by deploy/kubernetes/alerts.sh from deploy/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: headrace
spec:
EOF
    sed -E '/^#/d; s/^(.)/  \1/' ../prometheus/alerts.yml
} >components/monitoring/alerts.yaml
