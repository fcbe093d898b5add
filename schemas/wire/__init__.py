"""Models that are sent or stored as JSON: payloads of Temporal, events on Kafka, kept reports.

Histories, topics and rows contain JSON of earlier versions. From the first release on, therefore, a new field has a
default, no field is renamed or removed, and no meaning changes. All parts of these models are in this package, too. A
test checks that.
"""
