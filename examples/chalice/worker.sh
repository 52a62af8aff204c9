#!/bin/sh
# A worker without an SDK, as it would be for AWS: sh worker.sh ID TEXT
# It needs curl and openssl. The keys are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
set -eu

region=us-west-2
host=abcd1234.execute-api.$region.amazonaws.com

# The last character of an id, percent-encoded. In what is signed, the path is encoded once more.
id=$(printf %s "$1" | sed 's/=/%3D/g')
path=/api/@connections/$id
signed_path=$(printf %s "$path" | sed 's/%/%25/g; s/@/%40/g')

# Signature Version 4. That of curl, --aws-sigv4, is not right for such paths in every version.
time=$(date -u +%Y%m%dT%H%M%SZ)
day=${time%T*}
scope=$day/$region/execute-api/aws4_request

sha256() { openssl dgst -sha256 -r | cut -d ' ' -f 1; }
hmac() { printf %s "$2" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1" -r | cut -d ' ' -f 1; }

request="POST
$signed_path

host:$host
x-amz-date:$time

host;x-amz-date
$(printf %s "$2" | sha256)"
key=$(printf %s "AWS4$AWS_SECRET_ACCESS_KEY" | od -An -v -tx1 | tr -d ' \n')
for part in "$day" "$region" execute-api aws4_request; do key=$(hmac "$key" "$part"); done
signature=$(hmac "$key" "AWS4-HMAC-SHA256
$time
$scope
$(printf %s "$request" | sha256)")

status=$(
    printf %s "$2" | curl --silent --show-error --max-time 30 --output /dev/null --write-out '%{http_code}' \
        --header "X-Amz-Date: $time" \
        --header "Authorization: AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/$scope, SignedHeaders=host;x-amz-date, Signature=$signature" \
        --data-binary @- "https://$host$path"
)
case $status in
200) echo sent ;;
410) echo "$1 is gone" ;;
*)
    echo "the answer was $status" >&2
    exit 1
    ;;
esac
