#!/usr/bin/env bash
# Builds the images, starts the platform with secrets of its own, trains and registers real models inside it, and asks the
# service. For CI, and for anybody with Docker: deploy/compose/try.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

project=soil-try
secrets=$(mktemp)
compose() { docker compose --project-name "$project" --env-file "$secrets" --file deploy/compose.yaml "$@"; }
finish() {
  status=$?
  [ "$status" = 0 ] || compose logs --tail 60
  compose --profile service down --volumes --timeout 20
  rm -f "$secrets"
  exit "$status"
}
trap finish EXIT

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
{
  echo "SOIL_VERSION=try"
  for name in SOIL_POSTGRES_PASSWORD SOIL_MLFLOW_PASSWORD SOIL_MLFLOW_PLATFORM_PASSWORD SOIL_MLFLOW_READER_PASSWORD \
              SOIL_FLASK_SECRET SOIL_S3_SECRET SOIL_STORE_SECRET; do
    echo "$name=$(random 32)"
  done
  echo "SOIL_S3_KEY=GK$(random 12)"
} > "$secrets"

compose build
compose up --wait --wait-timeout 300

# The chain of one property, in the container of the code location: landed data is the golden reference alone.
for selection in reference_spectra,benchmark_spectra training_set; do
  compose exec -T code soil run "$selection"
done
compose exec -T code soil run trained_models,benchmark_evaluations,model_comparisons --partition clay
compose exec -T code soil run decision_report
compose exec -T code soil run registered_versions --partition clay
compose exec -T code soil registry list

compose --profile service up --wait --wait-timeout 120
curl --fail --silent --show-error http://127.0.0.1:8080/v1/models
curl --fail --silent --show-error http://127.0.0.1:3000/server_info
