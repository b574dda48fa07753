"""LocalStack keeps what is uploaded in one folder of /tmp, whoever runs it; here each keeps its own."""

import os

from localstack.services.s3 import provider

provider.DEFAULT_S3_TMP_DIR = os.environ.get("PARSELOG_S3_FOLDER", provider.DEFAULT_S3_TMP_DIR)
