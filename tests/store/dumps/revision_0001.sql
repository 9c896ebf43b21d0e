PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE climate_ref_prefect_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT climate_ref_prefect_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO climate_ref_prefect_version VALUES('0001');
CREATE TABLE dataset (
	id INTEGER NOT NULL, 
	instance_id TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	facets JSON NOT NULL, 
	files JSON NOT NULL, 
	CONSTRAINT pk_dataset PRIMARY KEY (id), 
	CONSTRAINT uq_dataset_instance_id_fingerprint UNIQUE (instance_id, fingerprint)
);
INSERT INTO dataset VALUES(1,'CMIP6.CMIP.Somebody.ModelA.historical.r1i1p1f1.Amon.ta.gn.v20190429','91cc07f8b95b1428a29c6aaa2e87b7138800600c1fce42dd3f3044c99dbcbe0b','{"mip_era": "CMIP6", "activity_id": "CMIP", "institution_id": "Somebody", "source_id": "ModelA", "experiment_id": "historical", "member_id": "r1i1p1f1", "table_id": "Amon", "variable_id": "ta", "grid_label": "gn", "version": "v20190429"}','["@DATA@/CMIP6/CMIP/Somebody/ModelA/historical/r1i1p1f1/Amon/ta/gn/v20190429/ta_Amon_ModelA_historical_r1i1p1f1_gn_185001-201412.nc"]');
INSERT INTO dataset VALUES(2,'CMIP6.CMIP.Somebody.ModelB.historical.r1i1p1f1.Amon.ta.gn.v20190429','5dc5a31d12642a74aa2a1910418364b210f189f557530e530d719e2335fb9695','{"mip_era": "CMIP6", "activity_id": "CMIP", "institution_id": "Somebody", "source_id": "ModelB", "experiment_id": "historical", "member_id": "r1i1p1f1", "table_id": "Amon", "variable_id": "ta", "grid_label": "gn", "version": "v20190429"}','["@DATA@/CMIP6/CMIP/Somebody/ModelB/historical/r1i1p1f1/Amon/ta/gn/v20190429/ta_Amon_ModelB_historical_r1i1p1f1_gn_185001-201412.nc"]');
CREATE TABLE provider (
	id INTEGER NOT NULL, 
	slug TEXT NOT NULL, 
	CONSTRAINT pk_provider PRIMARY KEY (id), 
	CONSTRAINT uq_provider_slug UNIQUE (slug)
);
INSERT INTO provider VALUES(1,'flows');
CREATE TABLE diagnostic (
	id INTEGER NOT NULL, 
	provider_id INTEGER NOT NULL, 
	slug TEXT NOT NULL, 
	CONSTRAINT pk_diagnostic PRIMARY KEY (id), 
	CONSTRAINT fk_diagnostic_provider_id_provider FOREIGN KEY(provider_id) REFERENCES provider (id), 
	CONSTRAINT uq_diagnostic_provider_id_slug UNIQUE (provider_id, slug)
);
INSERT INTO diagnostic VALUES(1,1,'flaky');
INSERT INTO diagnostic VALUES(2,1,'good');
INSERT INTO diagnostic VALUES(3,1,'own-error');
CREATE TABLE execution_group (
	id INTEGER NOT NULL, 
	diagnostic_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	selectors JSON NOT NULL, 
	dirty BOOLEAN NOT NULL, 
	CONSTRAINT pk_execution_group PRIMARY KEY (id), 
	CONSTRAINT fk_execution_group_diagnostic_id_diagnostic FOREIGN KEY(diagnostic_id) REFERENCES diagnostic (id), 
	CONSTRAINT uq_execution_group_diagnostic_id_key UNIQUE (diagnostic_id, "key")
);
INSERT INTO execution_group VALUES(1,1,'ModelA','{"source_id": "ModelA"}',0);
INSERT INTO execution_group VALUES(2,1,'ModelB','{"source_id": "ModelB"}',0);
INSERT INTO execution_group VALUES(3,2,'ModelA','{"source_id": "ModelA"}',0);
INSERT INTO execution_group VALUES(4,2,'ModelB','{"source_id": "ModelB"}',0);
INSERT INTO execution_group VALUES(5,3,'ModelA','{"source_id": "ModelA"}',0);
INSERT INTO execution_group VALUES(6,3,'ModelB','{"source_id": "ModelB"}',0);
CREATE TABLE execution (
	id INTEGER NOT NULL, 
	group_id INTEGER NOT NULL, 
	fragment TEXT NOT NULL, 
	input_hash TEXT NOT NULL, 
	provider_version TEXT NOT NULL, 
	diagnostic_version TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	replaces_id INTEGER, 
	status TEXT NOT NULL, 
	transport TEXT, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	asked_memory_mb INTEGER NOT NULL, 
	asked_cpu INTEGER NOT NULL, 
	asked_wall_clock_seconds DOUBLE NOT NULL, 
	asked_queue TEXT, 
	successful BOOLEAN, 
	retryable BOOLEAN, 
	counted BOOLEAN, 
	failure_kind TEXT, 
	failure_message TEXT, 
	duration_seconds DOUBLE, 
	peak_rss_mb DOUBLE, 
	telemetry_meta JSON, 
	results_path TEXT, 
	CONSTRAINT pk_execution PRIMARY KEY (id), 
	CONSTRAINT ck_execution_status CHECK (status IN ('allocated', 'dispatched', 'finished')), 
	CONSTRAINT fk_execution_group_id_execution_group FOREIGN KEY(group_id) REFERENCES execution_group (id), 
	CONSTRAINT fk_execution_replaces_id_execution FOREIGN KEY(replaces_id) REFERENCES execution (id), 
	CONSTRAINT uq_execution_fragment UNIQUE (fragment)
);
INSERT INTO execution VALUES(1,3,'flows/good/ModelA/20261128T185425-5aeaad15','30d5cb7b14503fced311bfd589f776ae64c050d5af98f2b2b4e9b6a8b8b72d23','1','1',1,NULL,'finished','local','2026-11-28 18:54:25.965258','2026-11-28 18:54:26.340637',200,1,60.0,NULL,1,0,1,NULL,NULL,0.019288021999727789079,0.4500000000000000111,'{"cpu_seconds": 0.00511, "host": "somewhere", "exit_code": 0, "memory_source": "rusage"}','@RESULTS@/flows/good/ModelA/20261128T185425-5aeaad15');
INSERT INTO execution VALUES(2,4,'flows/good/ModelB/20261128T185425-a58864e3','367aca359517edfdbde85857d2e4449f43c73eebfa8e5afb0fa83267d85503ea','1','1',1,NULL,'finished','local','2026-11-28 18:54:25.965258','2026-11-28 18:54:26.381238',200,1,60.0,NULL,1,0,1,NULL,NULL,0.045226641999761341139,0.4500000000000000111,'{"cpu_seconds": 0.005614, "host": "somewhere", "exit_code": 0, "memory_source": "rusage"}','@RESULTS@/flows/good/ModelB/20261128T185425-a58864e3');
INSERT INTO execution VALUES(3,5,'flows/own-error/ModelA/20261128T185425-3fb7ff49','30d5cb7b14503fced311bfd589f776ae64c050d5af98f2b2b4e9b6a8b8b72d23','1','1',1,NULL,'finished','local','2026-11-28 18:54:25.965258','2026-11-28 18:54:26.245816',200,1,60.0,NULL,0,0,1,'diagnostic_error','DiagnosticError: no such method',0.045089979999829665757,0.0,'{"cpu_seconds": 0.00507, "host": "somewhere", "exit_code": 0, "memory_source": "none"}',NULL);
INSERT INTO execution VALUES(4,6,'flows/own-error/ModelB/20261128T185425-f30b2c13','367aca359517edfdbde85857d2e4449f43c73eebfa8e5afb0fa83267d85503ea','1','1',1,NULL,'finished','local','2026-11-28 18:54:25.965258','2026-11-28 18:54:26.306560',200,1,60.0,NULL,0,0,1,'diagnostic_error','DiagnosticError: no such method',0.026370750999831216176,0.0,'{"cpu_seconds": 0.005175, "host": "somewhere", "exit_code": 0, "memory_source": "none"}',NULL);
INSERT INTO execution VALUES(5,1,'flows/flaky/ModelA/20261128T185425-b8bb3f0f','30d5cb7b14503fced311bfd589f776ae64c050d5af98f2b2b4e9b6a8b8b72d23','1','1',1,NULL,'finished','local','2026-11-28 18:54:25.965258','2026-11-28 18:54:26.404949',200,1,60.0,NULL,0,1,1,'system_error','OSError: the disk is on fire',0.030686078000144334509,0.0,'{"cpu_seconds": 0.005007999999999999, "host": "somewhere", "exit_code": 0, "memory_source": "none"}',NULL);
INSERT INTO execution VALUES(6,2,'flows/flaky/ModelB/20261128T185425-bbb5d513','367aca359517edfdbde85857d2e4449f43c73eebfa8e5afb0fa83267d85503ea','1','1',1,NULL,'finished','local','2026-11-28 18:54:25.965258','2026-11-28 18:54:26.432311',200,1,60.0,NULL,0,1,1,'system_error','OSError: the disk is on fire',0.025407312999959685839,0.0,'{"cpu_seconds": 0.005359, "host": "somewhere", "exit_code": 0, "memory_source": "none"}',NULL);
INSERT INTO execution VALUES(7,1,'flows/flaky/ModelA/20261128T185426-9cac8e88','30d5cb7b14503fced311bfd589f776ae64c050d5af98f2b2b4e9b6a8b8b72d23','1','1',2,5,'finished','local','2026-11-28 18:54:26.408845','2026-11-28 18:54:26.528710',200,1,60.0,NULL,1,0,1,NULL,NULL,0.034725501000139047391,0.40999999999999997557,'{"cpu_seconds": 0.0055, "host": "somewhere", "exit_code": 0, "memory_source": "rusage"}','@RESULTS@/flows/flaky/ModelA/20261128T185426-9cac8e88');
INSERT INTO execution VALUES(8,2,'flows/flaky/ModelB/20261128T185426-6e3c1693','367aca359517edfdbde85857d2e4449f43c73eebfa8e5afb0fa83267d85503ea','1','1',2,6,'finished','local','2026-11-28 18:54:26.443099','2026-11-28 18:54:26.587182',200,1,60.0,NULL,1,0,1,NULL,NULL,0.023975960999905510107,0.4500000000000000111,'{"cpu_seconds": 0.00583, "host": "somewhere", "exit_code": 0, "memory_source": "rusage"}','@RESULTS@/flows/flaky/ModelB/20261128T185426-6e3c1693');
CREATE TABLE execution_dataset (
	execution_id INTEGER NOT NULL, 
	dataset_id INTEGER NOT NULL, 
	CONSTRAINT pk_execution_dataset PRIMARY KEY (execution_id, dataset_id), 
	CONSTRAINT fk_execution_dataset_dataset_id_dataset FOREIGN KEY(dataset_id) REFERENCES dataset (id), 
	CONSTRAINT fk_execution_dataset_execution_id_execution FOREIGN KEY(execution_id) REFERENCES execution (id)
);
INSERT INTO execution_dataset VALUES(1,1);
INSERT INTO execution_dataset VALUES(2,2);
INSERT INTO execution_dataset VALUES(3,1);
INSERT INTO execution_dataset VALUES(4,2);
INSERT INTO execution_dataset VALUES(5,1);
INSERT INTO execution_dataset VALUES(6,2);
INSERT INTO execution_dataset VALUES(7,1);
INSERT INTO execution_dataset VALUES(8,2);
CREATE TABLE execution_output (
	id INTEGER NOT NULL, 
	execution_id INTEGER NOT NULL, 
	output_type TEXT NOT NULL, 
	short_name TEXT NOT NULL, 
	filename TEXT NOT NULL, 
	long_name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	dimensions JSON NOT NULL, 
	CONSTRAINT pk_execution_output PRIMARY KEY (id), 
	CONSTRAINT fk_execution_output_execution_id_execution FOREIGN KEY(execution_id) REFERENCES execution (id), 
	CONSTRAINT uq_execution_output_execution_id_output_type_short_name UNIQUE (execution_id, output_type, short_name)
);
INSERT INTO execution_output VALUES(1,1,'data','values','values.txt','Twelve values','','{}');
INSERT INTO execution_output VALUES(2,2,'data','values','values.txt','Twelve values','','{}');
INSERT INTO execution_output VALUES(3,7,'data','values','values.txt','Twelve values','','{}');
INSERT INTO execution_output VALUES(4,8,'data','values','values.txt','Twelve values','','{}');
CREATE TABLE scalar_value (
	id INTEGER NOT NULL, 
	execution_id INTEGER NOT NULL, 
	dimensions_hash TEXT NOT NULL, 
	dimensions JSON NOT NULL, 
	value DOUBLE, 
	CONSTRAINT pk_scalar_value PRIMARY KEY (id), 
	CONSTRAINT fk_scalar_value_execution_id_execution FOREIGN KEY(execution_id) REFERENCES execution (id), 
	CONSTRAINT uq_scalar_value_execution_id_dimensions_hash UNIQUE (execution_id, dimensions_hash)
);
INSERT INTO scalar_value VALUES(1,1,'0c8714ecef1995c3d8d8487facf2603087b5a6425390dc315dad62d3b0c33be9','{"source_id": "ModelA", "statistic": "mean"}',15.75);
INSERT INTO scalar_value VALUES(2,1,'4954f484a063336653fe46d80717e8ae9ad07c73f6eeaa3041b9af58306edfca','{"source_id": "ModelA", "statistic": "trend"}',3.977272727272727645e-19);
INSERT INTO scalar_value VALUES(3,2,'633a7413ac44c48757a356ea45dc31cf3ae4be8b47979e8acf65b0249a238c60','{"source_id": "ModelB", "statistic": "mean"}',21.273809523809521949);
INSERT INTO scalar_value VALUES(4,2,'1433443558fa2e5427d2a0d2249c471e334119dc1a6d8898511b8ab3058362fe','{"source_id": "ModelB", "statistic": "trend"}',1.8421052631578949701e-18);
INSERT INTO scalar_value VALUES(5,7,'0c8714ecef1995c3d8d8487facf2603087b5a6425390dc315dad62d3b0c33be9','{"source_id": "ModelA", "statistic": "mean"}',15.75);
INSERT INTO scalar_value VALUES(6,7,'4954f484a063336653fe46d80717e8ae9ad07c73f6eeaa3041b9af58306edfca','{"source_id": "ModelA", "statistic": "trend"}',3.977272727272727645e-19);
INSERT INTO scalar_value VALUES(7,8,'633a7413ac44c48757a356ea45dc31cf3ae4be8b47979e8acf65b0249a238c60','{"source_id": "ModelB", "statistic": "mean"}',21.273809523809521949);
INSERT INTO scalar_value VALUES(8,8,'1433443558fa2e5427d2a0d2249c471e334119dc1a6d8898511b8ab3058362fe','{"source_id": "ModelB", "statistic": "trend"}',1.8421052631578949701e-18);
CREATE TABLE series_value (
	id INTEGER NOT NULL, 
	execution_id INTEGER NOT NULL, 
	dimensions_hash TEXT NOT NULL, 
	index_name TEXT NOT NULL, 
	dimensions JSON NOT NULL, 
	"index" JSON NOT NULL, 
	"values" JSON NOT NULL, 
	attributes JSON NOT NULL, 
	CONSTRAINT pk_series_value PRIMARY KEY (id), 
	CONSTRAINT fk_series_value_execution_id_execution FOREIGN KEY(execution_id) REFERENCES execution (id), 
	CONSTRAINT uq_series_value_execution_id_dimensions_hash_index_name UNIQUE (execution_id, dimensions_hash, index_name)
);
INSERT INTO series_value VALUES(1,1,'3bd79a358c86282b9c7ca17fd2d7f478b7cb1619cb5264a08a4a4f84094a1d58','month','{"source_id": "ModelA"}','[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]','[25.142857142857142, 5.428571428571429, 0.14285714285714285, 1.1428571428571428, 32.42857142857143, 14.0, 22.428571428571427, 7.571428571428571, 13.571428571428571, 11.285714285714286, 33.57142857142857, 22.285714285714285]','{}');
INSERT INTO series_value VALUES(2,2,'211251888fa0ee199716c9bfe3d3cbba4941277ffa4fc10fdeb1820cc5947f4c','month','{"source_id": "ModelB"}','[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]','[5.428571428571429, 8.428571428571429, 14.571428571428571, 27.285714285714285, 6.428571428571429, 34.57142857142857, 28.285714285714285, 31.285714285714285, 12.428571428571429, 32.714285714285715, 27.142857142857142, 26.714285714285715]','{}');
INSERT INTO series_value VALUES(3,7,'3bd79a358c86282b9c7ca17fd2d7f478b7cb1619cb5264a08a4a4f84094a1d58','month','{"source_id": "ModelA"}','[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]','[25.142857142857142, 5.428571428571429, 0.14285714285714285, 1.1428571428571428, 32.42857142857143, 14.0, 22.428571428571427, 7.571428571428571, 13.571428571428571, 11.285714285714286, 33.57142857142857, 22.285714285714285]','{}');
INSERT INTO series_value VALUES(4,8,'211251888fa0ee199716c9bfe3d3cbba4941277ffa4fc10fdeb1820cc5947f4c','month','{"source_id": "ModelB"}','[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]','[5.428571428571429, 8.428571428571429, 14.571428571428571, 27.285714285714285, 6.428571428571429, 34.57142857142857, 28.285714285714285, 31.285714285714285, 12.428571428571429, 32.714285714285715, 27.142857142857142, 26.714285714285715]','{}');
CREATE INDEX ix_execution_group_id_input_hash ON execution (group_id, input_hash);
CREATE INDEX ix_execution_status ON execution (status);
COMMIT;
