"""Where the bytes of images and small JSON objects are kept: a local folder, or MinIO and any S3 endpoint."""
