"""What is sent or stored as JSON: payloads of Temporal, events on Kafka, kept reports.

Histories, topics and rows hold what earlier versions wrote. So a field that is added has a default, none is renamed or
removed, and no meaning changes, from the first release on. All that such a model consists of stands here, too; a test
holds that.
"""
