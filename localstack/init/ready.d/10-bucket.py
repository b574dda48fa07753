"""Makes the versioned bucket; LocalStack runs this file itself once it is ready.

The same file serves the container and the Docker-less start, and may run any number of times.
"""

import os

import boto3

bucket = os.environ.get("PARSELOG_BUCKET", "parselog")
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ.get("PARSELOG_TEST_S3", "http://127.0.0.1:4566"),
    aws_access_key_id="test",
    aws_secret_access_key="test",
    region_name="us-east-1",
)
if bucket not in [found["Name"] for found in s3.list_buckets()["Buckets"]]:
    s3.create_bucket(Bucket=bucket)
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
